#!/usr/bin/env bash
# The other checks are worth something only if they fail when they should: each is run on a small tree with a planted
# violation.
set -euo pipefail
unset CDPATH
here=$(cd -- "$(dirname -- "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

# expect_clean CHECK / expect_violation CHECK TEXT: the check's verdict on the tree, and what its message must contain.
run_check() {
  if [ -e "$here/$1.py" ]; then
    python3 -B "$here/$1.py" "$tree"
  else
    "$here/$1.sh" "$tree"
  fi
}
expect_clean() {
  output=$(run_check "$1" 2>&1) || { echo "$1 complains about a clean tree: $output"; failed=1; }
}
expect_violation() {
  if output=$(run_check "$1" 2>&1); then
    echo "$1 overlooks: $2"
    failed=1
  elif ! grep -qF -- "$2" <<<"$output"; then
    echo "$1 does not say '$2' but: $output"
    failed=1
  fi
}
# plant FILE LINE...: adds the file for one expect_violation.
plant() {
  mkdir -p "$(dirname "$tree/$1")"
  printf '%s\n' "${@:2}" > "$tree/$1"
}
unplant() { rm "$tree/$1"; }

plant include/lpw/lpw.hpp '#include <lpw/train/fit.hpp>'
plant include/lpw/tensor/dtype.hpp '#include <bit>' 'struct Real;'
plant include/lpw/cpu/gemm.hpp '#include <lpw/tensor/dtype.hpp>' '#include <lpw/cpu/pack.hpp>'
plant include/lpw/cpu/base/pack.hpp '#include <lpw/cpu/base/matrix.hpp>' '#include <lpw/primitives/conv2d.hpp>'
plant include/lpw/cuda/gemm.hpp '#include <lpw/kernels/gemm.cuh>'
plant kernels/lpw/kernels/gemm.cuh '#include <lpw/tensor/dtype.hpp>'
expect_clean include_direction

try_include() {
  plant "$1" "#include $2"
  expect_violation include_direction "$3"
  unplant "$1"
}
try_include include/lpw/tensor/up.hpp '<lpw/nn/linear.hpp>' \
  'include/lpw/tensor/up.hpp:1: tensor may not include lpw/nn/linear.hpp'
try_include include/lpw/cpu/side.hpp '<lpw/cuda/gemm.hpp>' 'cpu may not include'
try_include include/lpw/cuda/side.hpp ' <lpw/cpu/gemm.hpp>' 'cuda may not include'
try_include include/lpw/cpu/base/side.hpp '<lpw/cpu/gemm.hpp>' 'cpu/base may not include'
try_include include/lpw/nn/release.hpp '<lpw/late_phase/release.hpp>' 'nn may not include'
try_include include/lpw/nn/all.hpp '<lpw/lpw.hpp>' 'only files directly under include/lpw'
try_include include/lpw/nn/near.hpp '"linear.hpp"' 'write lpw includes as'
try_include include/lpw/autograd/kernel.hpp '<lpw/kernels/gemm.cuh>' 'only cuda includes kernels'
try_include include/lpw/extra/new.hpp '<vector>' 'no place in the order'
try_include kernels/lpw/kernels/wide.cuh '<lpw/tensor/tensor.hpp>' 'kernels may include'

plant README.md 'See `include/lpw/tensor/dtype.hpp`, `include/lpw/*/gemm.hpp`, [the code](include/lpw), lpw::Real.' \
  '[paper](https://example.org/page.html#top), [here](#below), [place](include/lpw/lpw.hpp#L1)' '```' 'build/x' '```'
expect_clean citations
try_citation() {
  plant docs/page.md "$1"
  expect_violation citations "docs/page.md: cites $2"
  unplant docs/page.md
}
try_citation 'see `include/lpw/tensor/gone.hpp`' include/lpw/tensor/gone.hpp
try_citation '[page](gone.md)' gone.md
try_citation '[place](gone.md#below) and [paper](https://example.org)' gone.md
try_citation 'run scripts/gone.sh' scripts/gone.sh
try_citation '#include <lpw/gone.hpp>' '<lpw/gone.hpp>'
try_citation 'call lpw::nn::Gone{}' lpw::nn::Gone
try_citation 'set LPW_GONE' LPW_GONE

expect_clean field_names
plant include/lpw/tensor/message.hpp 'fail("too large; lower --batch");'
expect_violation field_names include/lpw/tensor/message.hpp:1
unplant include/lpw/tensor/message.hpp

# A header that uses a name of lpw's without its include, where another is precompiled that has it; and one that cannot
# be included twice.
headers=$tree/headers
plant headers/include/lpw/tensor/tensor.hpp '#pragma once' '#include <vector>' \
  'struct Shape { std::vector<int> sizes; };'
plant headers/include/lpw/tensor/fine.hpp '#pragma once' '#include <lpw/tensor/tensor.hpp>' 'inline Shape empty;'
plant headers/include/lpw/tensor/bad.hpp '#pragma once' 'inline Shape empty;'
plant headers/include/lpw/tensor/twice.hpp '#include <lpw/tensor/tensor.hpp>' 'struct Twice {};'
for compiler in g++ clang++; do
  command -v "$compiler" >/dev/null || continue
  output=$("$here/headers.sh" "$headers" 2 "$compiler" -std=c++20 2>&1) && status=0 || status=$?
  said=$(grep 'does not compile on its own' <<<"$output" | sort | tr '\n' ' ' || true)
  why='does not compile on its own'
  [ "$said" = "headers: lpw/tensor/bad.hpp $why headers: lpw/tensor/twice.hpp $why " ] && [ $status = 1 ] ||
    { echo "headers.sh with $compiler does not refuse bad.hpp and twice.hpp alone: $output"; failed=1; }
done
rm -r "$headers"

if ! command -v python3 >/dev/null; then
  echo "SKIPPED: primitives, operations, options, commands and standard_headers, for want of python3"
  exit $((failed ? 1 : 77))
fi

plant docs/command-line.md '## cifar' '| `--out TEXT` | | folder |' '## enwik8' '| `--hidden INT` | `5` | units |'
plant scripts/draw.sh '# Usage: scripts/draw.sh [--scale N] FILE'
plant CMakePresets.json '{"configurePresets": [{"name": "base", "hidden": true}, {"name": "release"}]}'
plant README.md 'See `scripts/draw.sh --scale 2 X`, `cifar --out a` and `--hidden`.' '```sh' \
  'cmake --preset release && cmake --build --preset release --target cifar  # gone' 'export A=$(pkg-config --libs x)' \
  'mpirun -n 2 build/release/examples/cifar \' '  --out docs/RUN' 'scripts/draw.sh docs/command-line.md' '```'
expect_clean commands
try_command() {  # try_command COMMAND MESSAGE
  plant docs/page.md '```sh' "$1" '```'
  expect_violation commands "docs/page.md:2: $2"
  unplant docs/page.md
}
try_command 'build/release/examples/cifar --hidden 5' 'build/release/examples/cifar has no option --hidden'
try_command 'mpirun -n 2 build/release/examples/cifar --hidden 5' 'build/release/examples/cifar has no option --hidden'
try_command 'cifar --out x | scripts/draw.sh --out x' 'scripts/draw.sh has no option --out'
try_command 'build/gone/examples/cifar' 'build/gone/examples/cifar: there is no preset gone'
try_command 'cmake --build --preset base' 'there is no preset base'
try_command 'cmake --build --preset release --target gone' 'there is no target gone'
try_command 'build/release/examples/gone' 'build/release/examples/gone: there is no such program'
try_command 'scripts/gone.sh' 'scripts/gone.sh: there is no such program or script'
try_command 'gone' 'gone: there is no such program or script'
try_command 'cifar --out docs/gone.md' 'docs/gone.md does not exist'
plant docs/page.md 'Call' '`cifar --hidden 5` or `scripts/draw.sh --wide`, with `--gone`.'
expect_violation commands 'docs/page.md:2: cifar has no option --hidden'
expect_violation commands 'docs/page.md:2: scripts/draw.sh has no option --wide'
expect_violation commands 'docs/page.md:2: --gone: nothing here has such an option'
for page in docs/page.md docs/command-line.md scripts/draw.sh CMakePresets.json README.md; do unplant $page; done

expect_clean standard_headers
# try_header TEXT LINE...: what standard_headers says of a header of these lines.
try_header() {
  plant include/lpw/tensor/bad.hpp "${@:2}"
  expect_violation standard_headers "include/lpw/tensor/bad.hpp:$1"
  unplant include/lpw/tensor/bad.hpp
}
plant include/lpw/tensor/good.hpp '#include <vector>' '#include <signal.h>' \
  'inline std::vector<int> list;  // std::map' \
  "inline const char* text = \"std::set\"; inline int number = 1'000, last = SIGINT; inline char c = 'x';"
expect_clean standard_headers
try_header '1: std::vector needs <vector>' 'inline std::vector<int> list;'
try_header '1: std::vector needs <vector>' 'inline std::vector<int> list;' '// #include <vector>'
try_header '2: std::string needs <string>' '#include <vector>' 'inline std::string text;'
try_header '2: std::brand_new is unknown' '#include <vector>' 'inline std::brand_new thing;'
try_header '1: INT_MAX needs <climits>' 'inline int largest = INT_MAX;'
try_header '1: BRAND_NEW is unknown' 'inline int largest = BRAND_NEW;'
try_header '1: uint32_t needs <cstdint>' 'inline uint32_t word = 0;'
try_header '1: memcpy needs <cstring>' 'inline void copy(char* to, char* from) { memcpy(to, from, 1); }'
try_header '1: assert needs <assert.h>' 'inline void check(bool right) { assert(right); }'
try_header '1: ::open needs <fcntl.h>' 'inline int file = ::open(nullptr, 0);'
try_header '1: ::brand_new is unknown' 'inline int file = ::brand_new(0);'
try_header '1: Eigen::MatrixXf needs <Eigen/Core>' 'inline Eigen::MatrixXf* matrix = nullptr;'
try_header '1: _mm512_setzero_ps needs <immintrin.h>' 'inline auto zero = _mm512_setzero_ps();'
plant include/lpw/tensor/through.hpp '#include <lpw/tensor/good.hpp>' 'inline std::vector<int> other;'
plant docs/program.md '# A program' '```cpp' '#include <lpw/tensor/through.hpp>' 'std::vector<int> list;' '```'
expect_clean standard_headers
plant docs/program.md '# A program' '```cpp' '#include <lpw/tensor/through.hpp>' 'std::string text;' '```'
expect_violation standard_headers 'docs/program.md:4: std::string needs <string>'
unplant docs/program.md
for header in good through; do unplant include/lpw/tensor/$header.hpp; done

primitives_header='// Dense layers.
//
// linear(x, weight, dx): y [K, B, out].
#pragma once'
# primitives_page ROW...: the page, with these rows after the one that is right.
primitives_page() {
  plant docs/primitives.md '# Primitives' '## Dense: `include/lpw/primitives/linear.hpp`' \
    '`x`, `dx` [K, B, in], `weight` [1 or K, out, in].' '' \
    '| primitive | of | computes | CPU | CUDA |' '|---|---|---|---|---|' \
    '| `linear(x, weight, dx)` | T | y | loop | `gemm` |' "$@"
}
# primitives_of DEVICE LINE...: the device's overload, in namespaces and beside what is none.
primitives_of() {
  plant "include/lpw/${1,,}/linear.hpp" '#pragma once' 'namespace lpw::inline LPW_ABI {' \
    'namespace detail {' "template <class T> void helper(const Tensor<T, $1>& x) { if (x) { gemm(x); } }" \
    '}  // namespace detail' 'struct Shape { int size(); };' 'template <class T>' \
    "[[nodiscard]] Tensor<T, $1> linear(const Tensor<T, $1>& x, const Tensor<Accumulate<T>, $1>& weight," \
    "                                   Gradient<T, $1>& /*dx*/ = {}) {" '  return {gemm(x)};' '}' "${@:2}" \
    '}  // namespace lpw::inline LPW_ABI'
}
# try_primitives TEXT: what the tree as it is now violates; then it is put right.
try_primitives() {
  expect_violation primitives "$1"
  primitives_tree
}
primitives_tree() {
  plant include/lpw/primitives/linear.hpp "$primitives_header"
  primitives_of Cpu
  primitives_of Cuda
  primitives_page
}
primitives_tree
expect_clean primitives
primitives_page '| `gone(x)` | T | y | loop | none: fused |'
try_primitives 'gone(x) is not overloaded for Cpu'
primitives_page '| `linear(x, dx)` | T | y | loop | none: fused |'
try_primitives 'linear(x, dx) is not overloaded for Cpu'
primitives_of Cpu 'template <class T> void add(Tensor<T, Cpu>& x);'
try_primitives 'add(x) has no row'
primitives_of Cuda 'inline void add(Tensor<float, Cuda>& x, const Shape& = {1, 2}) {}'
try_primitives 'add(x, ?) has no row'
primitives_of Cpu 'template <class T> void add(Tensor<T, Cpu>& x) {}'
primitives_page '| `add(x)` | T | y | loop | `gemm` |'
try_primitives 'add(x) is not overloaded for Cuda'
primitives_of Cpu 'template <class T> void add(Tensor<T, Cpu>& x) {}'
primitives_page '| `add(x)` | T | y | loop | none: fused |'
expect_clean primitives
primitives_page '| `add(x)` | T | y | loop | none |'
try_primitives 'say why, as none: WHY'
for device in Cpu Cuda; do primitives_of $device 'template <class T> void add(Tensor<T, '$device'>& x) {}'; done
primitives_page '| `add(x)` | T | y | loop | none: fused |'
try_primitives 'but its row says none'
for device in Cpu Cuda; do primitives_of $device 'template <class T> void add(Tensor<T, '$device'>& x) {}'; done
primitives_page '| `add(x)` | T | y | loop | `gemm` |'
try_primitives 'linear.hpp does not say what add(x) computes'
primitives_page '| `linear(x, weight, dx)` | T | y | loop | `gemm` |'
try_primitives 'has another row'
primitives_page '| `linear(x, weight, dx)` | T | | loop | `gemm` |'
try_primitives 'expected a row'
sed -i 's/`gemm`/`other_gemm`/' "$tree/docs/primitives.md"
try_primitives 'served by other_gemm'
sed -i 's/`weight` \[/[/' "$tree/docs/primitives.md"
try_primitives 'does not say what `weight`'
mv "$tree/include/lpw/cuda/linear.hpp" "$tree/include/lpw/cuda/dense.hpp"
expect_violation primitives 'files of different names'
unplant include/lpw/cuda/dense.hpp
try_primitives '0 primitives of Cuda'

plant include/lpw/tensor/error.hpp 'class ShapeError : public Error {};'
# operations_page ROW...: the page, with these rows after the one that is right.
operations_page() {
  plant docs/operations.md '# Operations' '## Other shapes: `include/lpw/autograd/reshape.hpp`' \
    '`x` [K, ...] as `shape`.' '' '| operation | gives | throws |' '|---|---|---|' \
    '| `reshape(x, shape)` | x | ShapeError |' "$@"
}
# operations_of LINE...: an operation, beside what is none, and these lines.
operations_of() {
  plant include/lpw/autograd/reshape.hpp '#pragma once' 'namespace lpw::inline LPW_ABI {' \
    'namespace detail {' 'template <class T, class D> void helper(const Variable<T, D>& x) {}' '}' \
    'template <class T, class D> struct Saved { Variable<T, D> value(int i); };' 'template <class T, class D>' \
    '[[nodiscard]] Variable<T, D> reshape(const Variable<T, D>& x, const Shape& shape = {}) { return x; }' "$@" '}'
}
# try_operations TEXT: what the tree as it is now violates; then it is put right.
try_operations() {
  expect_violation operations "$1"
  operations_of
  operations_page
}
operations_of
operations_page
expect_clean operations
operations_of 'template <class T, class D> Variable<T, D> tanh(const Variable<T, D>& x) { return x; }'
try_operations 'tanh(x) has no row'
operations_of 'template <class T, class D> Variable<T, D> reshape(const Variable<T, D>& x) { return x; }'
try_operations 'reshape(x) has no row'
operations_page '| `gone(x)` | x | nothing |'
try_operations 'gone(x) is not in include/lpw/autograd/reshape.hpp'
operations_page '' '## Gone: `include/lpw/autograd/gone.hpp`' '`x` and `shape`' '| operation | gives | throws |' \
  '| `reshape(x, shape)` | x | nothing |'
try_operations 'reshape(x, shape) is not in include/lpw/autograd/gone.hpp'
operations_page '| `reshape(x, shape)` | x | nothing |'
try_operations 'has another row'
operations_page '| `reshape(x, shape)` | x | |'
try_operations 'expected a row'
operations_page '## Shapes'
try_operations 'names no header'
sed -i 's/`shape`/shape/' "$tree/docs/operations.md"
try_operations 'does not say what `shape`'
sed -i 's/| ShapeError/| SizeError/' "$tree/docs/operations.md"
try_operations 'throws SizeError'
plant docs/operations.md '# Operations'
try_operations 'found 0 rows'

# options PAGE_LINE: of options that are declared so.
options() {
  plant include/lpw/autograd/reshape.hpp 'struct CutOptions {' '  int first, axis = -1;  // first = 1' \
    '  std::vector<int> parts = {1, 2};' '  Philox random{0};' \
    '  [[nodiscard]] Cut of() const { return {first, {axis}}; }' '};'
  plant docs/operations.md '# Options' "$@"
}
plant README.md 'Write `CutOptions{.first = 2, .parts = {}}`.'
whole='* `CutOptions{.first, .axis = -1, .parts = {1, 2}, .random{0}}`, of cuts'
options "$whole"
expect_clean options
options "${whole/-1/-2}"
expect_violation options 'expected `CutOptions{.first, .axis = -1, .parts = {1, 2}, .random{0}}`'
options "${whole/\* /}"
expect_violation options 'no list has `CutOptions{'
options "$whole" 'or `CutOptions{.parts, .axis}`'
expect_violation options 'CutOptions has no field .axis, or has it before'
options "$whole" 'or `CutOptions{.part}`'
expect_violation options 'CutOptions has no field .part'
unplant README.md
operations_of
operations_page

plant .git/description "it lies in /"home"/someone/data"  # no file of the tree
expect_clean machine_paths
plant docs/page.md "it lies in /"home"/someone/data"
expect_violation machine_paths docs/page.md:1

printf '| %0130d |\n' 1 > "$tree/docs/page.md"
expect_clean columns
printf '%0121d\n' 1 > "$tree/docs/page.md"
expect_violation columns docs/page.md:1
plant docs/page.md "short"

plant_modules() {  # plant_modules PAGE: two modules, of which the page names some
  plant include/lpw/nn/gate.hpp 'namespace detail {' 'struct Part {' '  void forward(int x);' '};' \
    '}  // namespace detail' 'struct Gate {' '  void forward(int x);' '};'
  plant include/lpw/models/net.hpp 'struct NetBlock {' '  void forward(int x);' '};' 'struct NetOptions {' '};' \
    'struct Net : Base {' '  int forward(int x);' '};'
  plant docs/models.md "$1"
}
plant_modules '`nn::Gate`, `nn::Net`'
expect_clean modules
plant_modules '`nn::Gate`'
expect_violation modules 'include/lpw/models/net.hpp: nn::Net is not on docs/models.md'
for file in include/lpw/nn/gate.hpp include/lpw/models/net.hpp docs/models.md; do unplant $file; done

plant_kernels() {  # plant_kernels TABLE: two kernels, of which the table names some
  plant kernels/lpw/kernels/gate.cuh '// a __global__ function' 'template <class T>' \
    '__global__ void __launch_bounds__(most(1), 2) gate_forward(const Gate<T> p) {' '__global__ void fill(float* x) {'
  plant tests/structure/kernels.cu "$1"
}
plant_kernels 'all[] = {address(gate_forward<float>), address(fill)};'
expect_clean kernels
plant_kernels 'all[] = {address(fill_all), address(gate_forward<float>)};'
expect_violation kernels 'kernels/lpw/kernels/gate.cuh: the kernel fill is not in tests/structure/kernels.cu'
for file in kernels/lpw/kernels/gate.cuh tests/structure/kernels.cu; do unplant $file; done

plant_version() {  # plant_version CHANGES PORT
  plant include/lpw/version.hpp '#define LPW_VERSION_MAJOR 1' '#define LPW_VERSION_MINOR 20' \
    '#define LPW_VERSION_PATCH 3'
  plant CHANGELOG.md '# Changes' "## $1" '## 1.0.0'
  plant cmake/vcpkg/lpw/vcpkg.json '{' "  \"version-semver\": \"$2\"," '}'
}
plant_version 1.20.3 1.20.3
expect_clean version
plant_version 1.21.0 1.20.3
expect_violation version 'CHANGELOG.md: version 1.21.0, but include/lpw/version.hpp has 1.20.3'
plant_version 1.20.3 1.20.2
expect_violation version 'cmake/vcpkg/lpw/vcpkg.json: version 1.20.2'

# The site: a link to no heading, and a function without a comment. It is made of the tree alone.
root=$here/../..
site=$tree/site
mkdir -p "$site/docs" "$site/scripts" "$site/include/lpw/nn"
cp -r "$root/docs/doxygen" "$site/docs"
cp "$root/scripts/docs.sh" "$root/scripts/common.sh" "$site/scripts"
cp "$root/include/lpw/version.hpp" "$site/include/lpw"
for page in CONTRIBUTING CHANGELOG; do echo "# $page" >"$site/$page.md"; done
echo '# Site' >"$site/README.md"
mkdir -p "$site/examples/other"
echo '# Other' >"$site/examples/other/README.md"
try_site() {  # try_site EXPECTED HEADER LINK: the message and exit status, of a header's line and a page's link
  printf '%s\n' '// Nets.' '#pragma once' '' 'namespace lpw::inline LPW_ABI {' "$2" '}' >"$site/include/lpw/nn/net.hpp"
  printf '%s\n' '# Page' '' "See [there]($3)." '' '## What it is' >"$site/docs/page.md"
  output=$("$site/scripts/docs.sh" 2>&1) && status=0 || status=$?
  [ $status = 77 ] || { [ $status = "${1%% *}" ] && grep -qF -- "${1#* }" <<<"$output"; } ||
    { echo "docs.sh does not say '$1' but exits with $status: $output"; failed=1; }
}
all='CHANGELOG.md, CONTRIBUTING.md, docs/page.md, examples/other/README.md'
try_site "1 lists all pages at its end but $all" '' '#what-it-is'
printf '%s\n' '## More' '[a](docs/page.md) [b](CONTRIBUTING.md) [c](CHANGELOG.md)' \
  '[d](examples/other/README.md)' >>"$site/README.md"
try_site '0 index.html' $'/// A <net>.\nint net();' '#what-it-is'
[ $status = 77 ] || grep -q '<title>.*Site</title>' "$site/build/docs/html/index.html" ||
  { echo "the site does not begin with README.md: $(grep '<title>' "$site/build/docs/html/index.html")"; failed=1; }
echo '<svg xmlns="http://www.w3.org/2000/svg"/>' >"$site/docs/a_net.svg"
try_site '0 index.html' $'/// A net.\nint net();' '#what-it-is), ![a net](a_net.svg), [the same](a_net.svg'
[ $status = 77 ] || { grep -q '<img src="docs-a-net.svg"' "$site/build/docs/html/page.html" &&
  cmp -s "$site/docs/a_net.svg" "$site/build/docs/html/docs-a-net.svg"; } ||
  { echo "the site's page does not show its picture: $(grep -E 'a.net' "$site/build/docs/html/page.html")"; failed=1; }
try_site '1 page.html shows a_net.svg, which is not there' $'/// A net.\nint net();' \
  '#what-it-is) <img src="a_net.svg" alt="a net"> [here](#what-it-is'
try_site '1 links to #gone' $'/// A net.\nint net();' '#gone'
try_site '1 links to gone.md' $'/// A net.\nint net();' gone.md
case $(doxygen --version 2>/dev/null) in 1.9.4*) status=1 ;; *) status=0 ;; esac
try_site "$status "'Member net() (function) of namespace lpw is not documented' 'int net();' ../README.md
try_site "$status "'Member b (variable) of struct lpw::Net is not documented' \
  $'/// A net.\nstruct Net {\n  int a;  // one\n  int b;\n};' ../README.md
try_site '0 index.html' $'/// A net.\nstruct Net {\n  int a = 0, b = 1;  // two\n  int c;   // three\n};
NAMED(Net, a,\n      b)' ../README.md
[ $status = 77 ] || ! grep -rq NAMED "$site/build/docs/html" || { echo "the site has a macro's call"; failed=1; }

# What its search finds first is not what start.md says, or is not there.
echo '[e](docs/start.md) [f](docs/cats.md)' >>"$site/README.md"
printf '%s\n' '# Animals' '' '## Feed a cat' 'Cats eat fish.' >"$site/docs/cats.md"
ask() {  # ask EXPECTED LINK
  printf '%s\n' '# Start' '' '| how do I | where |' '|---|---|' "| feed my cats | [there]($2) |" >"$site/docs/start.md"
  [ -e "$site/build/docs/html/start.html" ] || try_site '0 index.html' '' '#what-it-is'
  output=$(python3 -B "$here/questions.py" "$site" "$site/build/docs" 2>&1) && status=0 || status=$?
  [ $status = 77 ] || { [ $status = "${1%% *}" ] && grep -qF -- "${1#* }" <<<"$output"; } ||
    { echo "questions.py does not say '$1' but exits with $status: $output"; failed=1; }
}
ask '0 questions: 1 are answered' cats.md#feed-a-cat
ask '1 finds cats.html#cats-feed-a-cat' page.md#what-it-is
mkdir -p "$site/tests/structure"
printf '%s\n' 'how to =>' 'fish => cats.html#cats-feed-a-cat' >"$site/tests/structure/searches.txt"
ask '0 questions: 3 are answered' cats.md#feed-a-cat
printf '%s\n' 'fish =>' >"$site/tests/structure/searches.txt"
ask "1 a search for 'fish' finds cats.html#cats-feed-a-cat; expected nothing" cats.md#feed-a-cat
rm -f "$site/build/docs/html/page.html"
ask '1 the search finds page.html#page-what-it-is, which is not there' cats.md#feed-a-cat
rm -r "$site"

# A page's programs are whole, and what is replaced in them is there.
plant docs/page.md '```cpp' '#include <lpw/lpw.hpp>' '' 'int main() {' '  train(20);' '}' '```'
try_pages() {
  printf '%s\n' "$2" >"$tree/pages.txt"
  output=$(awk -f "$here/pages.awk" "$tree/pages.txt" "$tree/docs/page.md" 2>&1) || true
  grep -qF -- "$1" <<<"$output" || { echo "pages.awk does not say '$1' but: $output"; failed=1; }
}
try_pages '  train(2);' 'page-1: (20) => (2)'
try_pages "no program has '(200)', which pages.txt replaces in page-1" 'page-1: (200) => (2)'
try_pages "no program has '(20)', which pages.txt replaces in page-2" 'page-2: (20) => (2)'
plant docs/page.md '```cpp' 'train(20);' '```'
try_pages 'page.md:2: begins with no #include, and is no whole program' ''
plant docs/page.md '```cpp' '#include <lpw/lpw.hpp>' 'void f() {}' '```'
try_pages "the program page-1 has no 'int main() {'" ''
unplant docs/page.md

plant tests/fine.cpp 'double worst = 0;  // not std::max(worst, std::abs(a - b))' \
  'if (!(std::abs(a - b) <= worst)) worst = std::abs(a - b);' \
  'const double h = step * std::max(1.0, std::abs(x)), m = std::max(a, b) - std::abs(c);' \
  'CHECK(std::abs(a - b) > 1e-3);' 'if (size > 1000) CHECK(std::abs(a - b) < 0.1);' \
  'wrong += !(std::abs(a - b) <= tolerance);' \
  'if (error->size() > 2) difference = compare(a, b);' \
  'const double largest = std::max<double>(a, b), error = std::abs(a - b);' \
  'if (count > 0) ece += std::abs(a - b);' 'const auto limit = std::numeric_limits<double>::max(); sum += std::abs(a);'
expect_clean comparisons
try_comparison() {
  plant "${2:-tests/bad.cpp}" 'int main() {' "$1"
  expect_violation comparisons "${2:-tests/bad.cpp}:$(($(wc -l <<<"$1") + 1)): drops NaN"
  unplant "${2:-tests/bad.cpp}"
}
try_comparison 'worst = std::max(worst, std::abs(a - b));'
try_comparison 'worst = std::max(worst, std::abs(a - b));' benchmarks/some/bad.hpp
try_comparison 'for (int i = 0; i < 3; ++i) m = std::max(m, std::abs(a[i] - b[i]) / (1 + std::abs(b[i])));'
try_comparison 'm = std::max(std::abs(a - b), m);'
try_comparison 'm = std::max<double>(m, static_cast<double>(std::abs(a - b)));'
try_comparison 'm = std::max({m, std::abs(a - b), std::abs(c - d)});'
try_comparison 'm = max(m, fabsf(a - b));'
try_comparison 'm = std::fmax(m, std::fabs(a - b));'
try_comparison 'm = fmaxf(m, fabs(a - b));'
try_comparison $'m =\n    std::max(m,\n             std::abs(a - b));'
try_comparison 'worst = std::max(worst, relative(a, b));'
try_comparison 'largest_error = std::isnan(e) ? infinity : e; worst_ = std::fmax(worst_, e);'
try_comparison 'if (d > worst) worst = d;'
try_comparison 'if (d >= worst) { worst = d; }'
try_comparison 'if (worst < d) worst = d;'
try_comparison $'if (distance(a, b) > largest_difference)\n  largest_difference = distance(a, b);'
try_comparison 'worst = d > worst ? d : worst;'
try_comparison 'if (std::abs(a - b) > tolerance) FAIL("they differ");'
try_comparison 'wrong += std::abs(a - b) > tolerance;'
try_comparison 'wrong += a != 0 && std::abs(a * scale - 1) >= 2 * epsilon<double>();'

exit $failed
