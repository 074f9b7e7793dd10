// Matrix products by oneDNN on strided float32 and bfloat16 matrices as they lie, without packing on our side.
#pragma once

#include <lpw/cpu/matrix.hpp>
#include <lpw/cpu/onednn.hpp>
#include <lpw/cpu/parallel.hpp>

namespace lpw::onednn {

struct MatmulPlan {
  Operation matmul;
  dnnl::memory::desc a, b, c;
};

/// c (+)= a b, with a and b of one type; false if oneDNN does not implement this case, with nothing written.
template <class T, class C>
[[nodiscard]] bool matmul(MatrixView<const T> a, MatrixView<const T> b, MatrixView<C> c, bool accumulate) {
  const auto describe_matrix = [](const auto& m, dnnl::memory::data_type type) {
    return dnnl::memory::desc({m.rows, m.columns}, type, {m.row_stride, m.column_stride});
  };
  const auto make = [&] {
    MatmulPlan plan{{}, describe_matrix(a, data_type<T>), describe_matrix(b, data_type<T>), describe_matrix(c, data_type<C>)};
    const auto desc = describe<dnnl::matmul>(attributes(accumulate), plan.a, plan.b, plan.c);
    plan.matmul = {dnnl::matmul(desc), desc};
    return plan;
  };
  const Cache<MatmulPlan>::Key key{static_cast<std::int64_t>(data_type<T>),
                                   static_cast<std::int64_t>(data_type<C>),
                                   accumulate,
                                   max_threads(),
                                   c.rows,
                                   a.columns,
                                   c.columns,
                                   a.row_stride,
                                   a.column_stride,
                                   b.row_stride,
                                   b.column_stride,
                                   c.row_stride};
  return translate_errors("matmul", [&] {
    const auto plan = cache<MatmulPlan>().find(key, make);
    if (!plan) return false;
    plan->matmul.run(
        {{DNNL_ARG_SRC, memory(plan->a, a.data)}, {DNNL_ARG_WEIGHTS, memory(plan->b, b.data)}, {DNNL_ARG_DST, memory(plan->c, c.data)}});
    return true;
  });
}

}  // namespace lpw::onednn
