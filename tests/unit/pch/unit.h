// What most unit tests include, compiled once for all of them: a quarter of the time that they take
// to compile. Nothing may count on it; each test includes what it uses.
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <expected>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/unit/catch.h"
