// The CIFAR trainer on the CPU, in float.
#include "../shared/cpu_program.hpp"

#include "example.hpp"

template int example::run_on_cpu<cifar::Example, float>(const cifar::Options&, const std::string&);
