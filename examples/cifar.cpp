// Late-phase weights on CIFAR: train one Wide ResNet until T0, release its late-phase weights into K members, train them as one batched
// pass, collapse them into one plain network.
#include "cifar_command_line.hpp"
#include "cifar_example.hpp"
#include "trainer_main.hpp"

int main(int argc, char** argv) { return example::trainer_main<cifar::Example>(argc, argv); }
