# cmake --install: headers, a CMake package, so that find_package(lpw) gives lpw::lpw, pkg-config's files, and the
# sources of lpw::compiled, which projects that link it build for their own processor. There is nothing to compile
# first. Programs are installed by cmake --install BUILD --component lpw_programs alone (examples/CMakeLists.txt).
include(CMakePackageConfigHelpers)

set(lpw_package_dir ${CMAKE_INSTALL_DATADIR}/cmake/lpw)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/lpw DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT lpw_headers
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.inc")
if(EXISTS ${PROJECT_SOURCE_DIR}/kernels)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/kernels/lpw DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT lpw_headers
    FILES_MATCHING PATTERN "*.cuh")
endif()

install(TARGETS lpw EXPORT lpw)
install(EXPORT lpw NAMESPACE lpw:: FILE lpwTargets.cmake DESTINATION ${lpw_package_dir} COMPONENT lpw_headers)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/lpwConfig.cmake.in ${PROJECT_BINARY_DIR}/lpwConfig.cmake
  INSTALL_DESTINATION ${lpw_package_dir} PATH_VARS CMAKE_INSTALL_BINDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/lpwConfigVersion.cmake
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/lpwConfig.cmake ${PROJECT_BINARY_DIR}/lpwConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/LpwOneDnn.cmake ${PROJECT_SOURCE_DIR}/cmake/LpwCompiled.cmake
  ${PROJECT_SOURCE_DIR}/cmake/LpwMpi.cmake ${PROJECT_SOURCE_DIR}/cmake/LpwNccl.cmake
  ${PROJECT_SOURCE_DIR}/cmake/LpwOnnx.cmake ${PROJECT_SOURCE_DIR}/cmake/LpwImages.cmake
  ${PROJECT_SOURCE_DIR}/cmake/LpwOptional.cmake ${PROJECT_SOURCE_DIR}/cmake/FindOneDNN.cmake
  DESTINATION ${lpw_package_dir} COMPONENT lpw_headers)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/lpw/compiled DESTINATION ${lpw_package_dir} COMPONENT lpw_headers
  FILES_MATCHING PATTERN "*.cpp")

# Of pkg-config there are two packages, since what is found is not asked of the using machine there: lpw, and
# lpw-onednn with oneDNN.
set(lpw_pkgconfig_dir ${CMAKE_INSTALL_DATADIR}/pkgconfig)
file(RELATIVE_PATH lpw_up /${lpw_pkgconfig_dir} /)
foreach(name lpw lpw-onednn)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${lpw_pkgconfig_dir} COMPONENT lpw_headers)
endforeach()
