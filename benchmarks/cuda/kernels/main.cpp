// Every kernel of lpw on the GPU beside a copy.
#include "../main.hpp"

int main(int argc, char** argv) { return benchmarks::run_device_benchmarks(argc, argv); }
