// The unit tests' entry. Catch2 2 (Debian 12) brings main as a macro, Catch2 3 (Debian 13) as a
// library.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
