// Late-phase weights on text: train one byte-level LSTM until T0, release its rank-1 weights into K members that each
// read parts of the text of their own, collapse them into one plain LSTM.
#include "../shared/trainer_main.hpp"
#include "example.hpp"

int main(int argc, char** argv) { return example::trainer_main<enwik8::Example>(argc, argv); }
