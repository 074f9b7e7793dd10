# As many projects carry one, for Eigens of other versions, without a target. lpw has no use for it.
message(FATAL_ERROR "lpw asks for Eigen's own package, not for a project's FindEigen3.cmake")
