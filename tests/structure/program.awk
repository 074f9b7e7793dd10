# The program of a page: its blocks of ```cpp run, one after another.
/^```cpp run$/ { inside = 1; next }
/^```$/ { inside = 0; next }
inside { print }
