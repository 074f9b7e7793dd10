// The enwik8 trainer on the CPU, in float.
#include "../shared/cpu_program.hpp"

#include "example.hpp"

template int example::run_on_cpu<enwik8::Example, float>(const enwik8::Options&, const std::string&);
