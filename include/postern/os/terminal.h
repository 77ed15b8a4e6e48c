// Questions to whoever sits at the terminal that started this process (/dev/tty, whatever standard
// input and output are).
#pragma once

#include <string>
#include <vector>

#include "postern/base/result.h"

namespace postern::os {

// Whether there is a terminal to ask on.
bool HasTerminal();

// AskLine shows `question` and reads a line, without its end. Fails when there is no terminal and
// when the answer is cut off (end of file, a line of more than `most` octets).
Result<std::string> AskLine(const std::string& question, size_t most = 1024);

// AskSecret is AskLine without echo. Ctrl-C is an answer refused, so that the terminal is never
// left without echo. The octets are in one buffer, which is the caller's to wipe.
Result<std::vector<unsigned char>> AskSecret(const std::string& question, size_t most);

}  // namespace postern::os
