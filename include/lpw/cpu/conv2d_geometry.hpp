#pragma once

#include <lpw/tensor/conv2d_geometry.hpp>
