# The version that runs record: the project's, and the commit it was configured at where git knows it.
execute_process(COMMAND git -C ${PROJECT_SOURCE_DIR} describe --always --dirty
  OUTPUT_VARIABLE ecp_commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT ecp_commit)
  set(ecp_commit "unknown")
endif()
add_library(ecp_version INTERFACE)
target_compile_definitions(ecp_version INTERFACE ECP_VERSION="${PROJECT_VERSION}" ECP_COMMIT="${ecp_commit}")

# ecp_version_for(FILE...): the same for single files of a library, so that a new commit doesn't compile the rest anew.
function(ecp_version_for)
  set_source_files_properties(${ARGN} PROPERTIES
    COMPILE_DEFINITIONS "ECP_VERSION=\"${PROJECT_VERSION}\";ECP_COMMIT=\"${ecp_commit}\"")
endfunction()
