# The public headers as web pages, where doxygen is installed: the target `docs`.
find_program(ECP_DOXYGEN doxygen)
set(ecp_doxygen_output ${CMAKE_BINARY_DIR}/docs)
list(TRANSFORM ecp_public_headers PREPEND "${PROJECT_SOURCE_DIR}/" OUTPUT_VARIABLE ecp_doxygen_headers)
list(JOIN ecp_doxygen_headers " " ecp_doxygen_headers)
configure_file(docs/doxygen/Doxyfile.in ${CMAKE_BINARY_DIR}/Doxyfile @ONLY)
if(ECP_DOXYGEN)
  add_custom_target(docs COMMAND ${ECP_DOXYGEN} ${CMAKE_BINARY_DIR}/Doxyfile
    COMMENT "Web pages of the public headers: ${ecp_doxygen_output}/html/index.html" VERBATIM)
endif()
