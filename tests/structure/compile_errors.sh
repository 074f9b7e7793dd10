#!/usr/bin/env bash
# Usage: compile_errors.sh PROJECT COMPILER FLAG...
# compile_errors.cpp does not compile, and the compiler says so in the lines that lpw has for it, the first of them
# before anything else.
set -euo pipefail
project=$1 compiler=$2
shift 2
module="lpw: a module states value_type and device_type, and its visit(f) calls f(name, member) "
module+="for each of its parameters, buffers and modules"
member="lpw: visit(f) names a member that is neither a parameter, nor a buffer, "
member+="nor a module with value_type, device_type and visit(f)"
no_forward="lpw: the module has visit(f), but no forward(x) "
no_forward+="that takes and returns lpw::Variable<value_type, device_type>"
fixed="lpw: the network is const, and its visit(f) is not"
follower="lpw: release takes what follows it, an optimizer or lpw::Followers(optimizer, average, ...), "
follower+="which have follows(stores) and rearrange(from, to)"
call="lpw: a loader calls make_batch(std::span<const std::int64_t> samples, const lpw::Philox& random), "
call+="or make_batch(const lpw::data::Minibatch&), and does so where it is const"
tensors="lpw: make_batch(samples, random) gives a lpw::Tensor, a std::tuple or std::pair of them, or a struct "
tensors+="whose tensors() ties them together; lpw::tensor_of makes one of a std::vector"
late="lpw: late-phase weights are chosen by groups, lpw::Group::rank_one, or by a text that lpw::Selectors::parse reads"
schedule="lpw: a schedule is a curve, lpw::optim::Cosine{200}, or of a text that "
schedule+="lpw::optim::parse_schedule(text, learning_rate, epochs) reads"
reduction="lpw: a reduction is lpw::Reduction::mean or lpw::Reduction::samples, no text"
form="lpw: a network is collapsed by lpw::Collapse::affine or lpw::Collapse::parameters, no text"
labels="lpw: labels are std::int32_t, lpw::Tensor<std::int32_t, Device>"
step="lpw: step takes a factor, or a time and a schedule, "
step+="optimizer.step(time, lpw::optim::parse_schedule(text, learning_rate, epochs))"
add="lpw: a + b of variables is add(a, b), and x + number affine(x, {.shift = number})"
sub="lpw: a - b of variables is sub(a, b), and x - number affine(x, {.shift = -number})"
mul="lpw: a * b of variables is mul(a, b), of matrices matmul(a, b), and x * number affine(x, {.scale = number})"
div="lpw: a / b of variables is div(a, b), and x / number affine(x, {.scale = 1 / number})"
backward="lpw: a tape runs backwards, tape.backward(loss), no variable"
task="lpw: this is no task for that network; lpw/train/task.hpp says what one has to have"

all=()  # clang stops after twenty
[[ $("$compiler" --version) != *clang* ]] || all=(-ferror-limit=0)
options=(-I "$project/include" -fsyntax-only ${all[@]+"${all[@]}"})
if said=$("$compiler" "$@" "${options[@]}" "$project/tests/structure/compile_errors.cpp" 2>&1); then
  echo "compile_errors.cpp compiles"
  exit 1
fi
errors=$(grep ' error: ' <<<"$said")
failed=0
expect() {  # COUNT LINE: that many errors are this line
  [ "$(grep -cF "$2" <<<"$errors")" = "$1" ] && return
  echo "expected $1 errors with: $2"
  failed=1
}
expect 42 "$module"
expect 2 "$member"
expect 1 "$no_forward"
expect 1 "$fixed"
expect 1 "$follower"
expect 1 "$task"
expect 1 "$call"
expect 2 "$tensors"
expect 1 "$late"
expect 1 "$schedule"
expect 1 "$step"
expect 1 "$add"
expect 1 "$sub"
expect 2 "$mul"
expect 1 "$div"
expect 1 "$backward"
expect 2 "$reduction"
expect 3 "$form"
expect 3 "$labels"
! grep -E 'no (viable|matching)' <<<"$errors" || { echo "more than a line"; failed=1; }
[[ $(head -1 <<<"$errors") == *"$module"* ]] || { echo "the first error is another"; failed=1; }
[ $failed = 0 ] || { echo "in:"; echo "$errors"; }
exit $failed
