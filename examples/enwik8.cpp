// Late-phase weights on text: train one byte-level LSTM until T0, release its rank-1 weights into K members that each read parts of the
// text of their own, collapse them into one plain LSTM.
#include "enwik8_command_line.hpp"
#include "enwik8_example.hpp"
#include "trainer_main.hpp"

int main(int argc, char** argv) { return example::trainer_main<enwik8::Example>(argc, argv); }
