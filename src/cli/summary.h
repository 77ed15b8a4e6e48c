// Summary: what a configuration would serve, for the eyes of the administrator.
#pragma once

#include <string>

#include "postern/config/config.h"
#include "postern/generation/compile.h"

namespace postern::cli {

// `would_make_pair`: the certificate in `generation` stands for the one that a start would make.
std::string Summary(const config::Config& config, const generation::Generation& generation,
                    bool would_make_pair);

}  // namespace postern::cli
