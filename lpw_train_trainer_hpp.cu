#include <lpw/train/trainer.hpp>
