# Boost's headers, for the server: Beast and Asio. scripts/setup puts them into .boost where the system has an older Boost.
find_path(ECP_BOOST_INCLUDE boost/beast.hpp HINTS ${PROJECT_SOURCE_DIR}/.boost/usr/include REQUIRED)
file(STRINGS ${ECP_BOOST_INCLUDE}/boost/version.hpp ecp_boost_version REGEX "define BOOST_VERSION [0-9]+")
string(REGEX REPLACE "[^0-9]" "" ecp_boost_version "${ecp_boost_version}")
if(ecp_boost_version LESS 108100)
  message(FATAL_ERROR "Boost in '${ECP_BOOST_INCLUDE}': expected version 1.81 or newer, got ${ecp_boost_version}: run scripts/setup")
endif()
set(ecp_boost_definitions BOOST_ASIO_NO_DEPRECATED)
if(ECP_SANITIZE STREQUAL "thread")  # which knows no fences; one thread runs what is posted under a mutex
  list(APPEND ecp_boost_definitions BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()
# One file, and a header of its, know of them. The compiler's own folders must not be named again: its headers would not find each other.
set(ecp_boost_options)
if(NOT ECP_BOOST_INCLUDE IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
  set(ecp_boost_options -isystem ${ECP_BOOST_INCLUDE})
endif()
set_source_files_properties(ecp/serve/http.cpp PROPERTIES COMPILE_OPTIONS "${ecp_boost_options}"
  COMPILE_DEFINITIONS "${ecp_boost_definitions}")
