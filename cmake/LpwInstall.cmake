# cmake --install: headers, a CMake package, so that find_package(lpw) gives lpw::lpw, and the sources of lpw::compiled,
# which projects that link it build for their own processor. There is nothing to compile first.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(lpw_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/lpw)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/lpw DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.inc")
if(EXISTS ${PROJECT_SOURCE_DIR}/kernels)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/kernels/lpw DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.cuh")
endif()

install(TARGETS lpw EXPORT lpw)
install(EXPORT lpw NAMESPACE lpw:: FILE lpwTargets.cmake DESTINATION ${lpw_package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/lpwConfig.cmake.in ${PROJECT_BINARY_DIR}/lpwConfig.cmake
  INSTALL_DESTINATION ${lpw_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/lpwConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/lpwConfig.cmake ${PROJECT_BINARY_DIR}/lpwConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/LpwOneDnn.cmake ${PROJECT_SOURCE_DIR}/cmake/LpwCompiled.cmake
  ${PROJECT_SOURCE_DIR}/cmake/LpwMpi.cmake ${PROJECT_SOURCE_DIR}/cmake/FindOneDNN.cmake
  DESTINATION ${lpw_package_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/lpw/compiled DESTINATION ${lpw_package_dir}
  FILES_MATCHING PATTERN "*.cpp")
