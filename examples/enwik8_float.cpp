// The enwik8 trainer on the CPU, in float.
#include "cpu_program.hpp"

#include "enwik8_example.hpp"

template int example::run_on_cpu<enwik8::Example, float>(const enwik8::Options&, const std::string&);
