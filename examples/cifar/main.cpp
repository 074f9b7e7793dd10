// Late-phase weights on CIFAR: train one network until T0, release its late-phase weights into K members, train
// them as one batched pass, collapse them into one plain network.
#include "../shared/trainer_main.hpp"
#include "example.hpp"

int main(int argc, char** argv) { return example::trainer_main<cifar::Example>(argc, argv); }
