// The CIFAR trainer on the CPU, in float.
#include "cpu_program.hpp"

#include "cifar_example.hpp"

template int example::run_on_cpu<cifar::Example, float>(const cifar::Options&, const std::string&);
