// The enwik8 trainer's --device cuda.
#include "../shared/cuda_program.hpp"

#include "example.hpp"

template int example::run_on_cuda<enwik8::Example>(const enwik8::Options&, const std::string&);
