# The version that runs record: the project's, and the commit it was configured at where git knows it. One file is
# compiled with it, so that a commit doesn't rebuild the rest.
execute_process(COMMAND git -C ${PROJECT_SOURCE_DIR} describe --always --dirty
  OUTPUT_VARIABLE ecp_commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT ecp_commit)
  set(ecp_commit "unknown")
endif()
set_source_files_properties(ecp/base/version.cpp PROPERTIES
  COMPILE_DEFINITIONS "ECP_VERSION=\"${PROJECT_VERSION}\";ECP_COMMIT=\"${ecp_commit}\"")
