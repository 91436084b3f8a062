# The server's page: every file of ecp/serve/page becomes bytes in page_files.cpp in the build folder. As a script
# (cmake -P, with ECP_PAGE_FILES and ECP_PAGE_OUTPUT) it writes that file; included, it lets the build do so.
if(CMAKE_SCRIPT_MODE_FILE)
  set(arrays "")
  set(table "")
  set(number 0)
  foreach(file IN LISTS ECP_PAGE_FILES)
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    cmake_path(GET file FILENAME name)
    string(APPEND arrays "constexpr unsigned char file_${number}[] = {${bytes}};\n")
    string(APPEND table "    {\"${name}\", file_${number}},\n")
    math(EXPR number "${number} + 1")
  endforeach()
  file(WRITE ${ECP_PAGE_OUTPUT} "// Written by cmake/Page.cmake.\n#include \"ecp/serve/page_files.h\"\n\nnamespace ecp::serve {\n"
    "namespace {\n\n${arrays}\nconstexpr PageFile files[] = {\n${table}};\n\n}  // namespace\n\n"
    "std::span<const PageFile> page_files() { return files; }\n\n}  // namespace ecp::serve\n")
  return()
endif()

file(GLOB ecp_page_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ecp/serve/page/*)
set(ecp_page_output ${CMAKE_BINARY_DIR}/page_files.cpp)
add_custom_command(OUTPUT ${ecp_page_output}
  COMMAND ${CMAKE_COMMAND} "-DECP_PAGE_FILES=${ecp_page_files}" -DECP_PAGE_OUTPUT=${ecp_page_output}
    -P ${PROJECT_SOURCE_DIR}/cmake/Page.cmake
  DEPENDS ${ecp_page_files} ${PROJECT_SOURCE_DIR}/cmake/Page.cmake
  COMMENT "Writing the server's page into page_files.cpp" VERBATIM)
