// Linked into test programs under AddressSanitizer: an impossible allocation fails as it does without it, instead of
// ending the program, so that what is thrown then can be tested.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
