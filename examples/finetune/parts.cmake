# It starts the trainer beside it.
add_dependencies(${name} cifar)
