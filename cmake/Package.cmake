# The Debian package that cpack makes of an installation without LibTorch (scripts/package): one for the program, the library
# and what compiling against it takes, since it is installed as a file and not from an archive.
set(ECP_MAINTAINER "ecp maintainers <maintainers@localhost>" CACHE STRING "Who the Debian package names: NAME <ADDRESS>")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ecp)
set(CPACK_PACKAGE_CONTACT ${ECP_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "long-context language models: program and C++ library")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "Models of the ECP family (efficient context propagating attention) and
their peers: tokenizing, generating text, serving a model over HTTP as
OpenAI's clients speak it, comparing and quantizing. libecp.so puts a model
into a C++ program.

Training and evaluation need LibTorch and are not part of this package.")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "g++, cmake, pkg-config")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # dependencies from what the binaries are linked to
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
# What Debian's policy wants beside the files of `cmake --install`.
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/package_files.cmake)
set(CPACK_ECP_COPYRIGHT ${PROJECT_SOURCE_DIR}/cmake/copyright)
include(CPack)
