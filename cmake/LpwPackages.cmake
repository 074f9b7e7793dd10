# cpack: as .deb and .tar.gz, the headers with their CMake package (lpw-dev), and the programs of the CPU
# (lpw-programs), which must be built. scripts/package.sh does both.
set(CPACK_PACKAGE_NAME lpw)
set(CPACK_PACKAGE_CONTACT "The authors of lpw")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL lpw_headers)
if(LPW_BUILD_EXAMPLES)
  list(APPEND CPACK_COMPONENTS_ALL lpw_programs)
endif()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/lpw-dev RENAME copyright
  COMPONENT lpw_headers)
install(FILES ${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/lpw-dev
  COMPONENT lpw_headers)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/lpw-programs RENAME copyright
  COMPONENT lpw_programs EXCLUDE_FROM_ALL)

set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_ARCHIVE_LPW_HEADERS_FILE_NAME lpw-dev-${PROJECT_VERSION})
set(CPACK_ARCHIVE_LPW_PROGRAMS_FILE_NAME
  lpw-programs-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR})

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_LPW_HEADERS_PACKAGE_NAME lpw-dev)
set(CPACK_DEBIAN_LPW_HEADERS_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LPW_HEADERS_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_LPW_HEADERS_PACKAGE_DEPENDS
  "libeigen3-dev (>= ${LPW_EIGEN_VERSION}), nlohmann-json3-dev (>= ${LPW_JSON_VERSION})")
set(CPACK_DEBIAN_LPW_HEADERS_PACKAGE_RECOMMENDS "libdnnl-dev, libprotozero-dev, libturbojpeg0-dev, libpng-dev")
set(CPACK_DEBIAN_LPW_HEADERS_PACKAGE_SUGGESTS "libopenmpi-dev | libmpich-dev")
set(CPACK_COMPONENT_LPW_HEADERS_DESCRIPTION
  "Headers for C++20, the CMake package lpw, and files for pkg-config.")
set(CPACK_DEBIAN_LPW_PROGRAMS_PACKAGE_NAME lpw-programs)
set(CPACK_DEBIAN_LPW_PROGRAMS_PACKAGE_SECTION science)
find_program(LPW_SHLIBDEPS dpkg-shlibdeps DOC "Finds the packages that programs depend on, of Debian's dpkg-dev")
if(LPW_SHLIBDEPS)
  set(CPACK_DEBIAN_LPW_PROGRAMS_PACKAGE_SHLIBDEPS ON)
endif()
set(lpw_instructions "the compiler's default instructions")
if(LPW_MARCH)
  set(lpw_instructions "-march=${LPW_MARCH}")
endif()
if(TARGET lpw_portable)
  set(lpw_instructions "-march=x86-64-v2, -v3 and -v4, of which each start takes the best that the processor has")
endif()
set(CPACK_COMPONENT_LPW_PROGRAMS_DESCRIPTION
  "Trainers and the evaluation for the CPU, compiled with ${lpw_instructions}.")
include(CPack)
