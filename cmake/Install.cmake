# What `cmake --install` puts where, in three components: runtime (the program and libecp.so), dev (what compiling against
# it takes) and torch (what needs LibTorch, where it is built).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The public interface. These headers include each other and the standard library, nothing else (tests/house/headers_test.py).
set(ecp_public_headers
  ecp/ecp.h
  ecp/base/exception.h
  ecp/base/path.h
  ecp/base/version.h
  ecp/config/model_config.h
  ecp/runtime/model.h
  ecp/runtime/sampling.h
  ecp/runtime/scheduler.h
  ecp/runtime/session.h
  ecp/text/tokenizer.h)

# For other programs, from the objects of the static library: only the public interface is exported. Until version 1 a
# minor version may change it, so the SONAME has both numbers. fmt is named by its file: as a target it would stand in the
# package for CMake, which needs no other.
add_library(libecp_shared SHARED $<TARGET_OBJECTS:libecp_objects>)
target_link_libraries(libecp_shared PRIVATE $<TARGET_FILE:fmt::fmt> Threads::Threads ${libecp_libraries} -Wl,--as-needed
  -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/libecp.map)
target_include_directories(libecp_shared INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(libecp_shared INTERFACE cxx_std_20)
set(ecp_soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set_target_properties(libecp_shared PROPERTIES OUTPUT_NAME ecp EXPORT_NAME ecp LINKER_LANGUAGE CXX
  VERSION ${PROJECT_VERSION} SOVERSION ${ecp_soversion} LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/libecp.map)

install(TARGETS ecp RUNTIME COMPONENT runtime)
install(TARGETS libecp_shared EXPORT ecp-targets
  LIBRARY COMPONENT runtime NAMELINK_COMPONENT dev)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)

# Manual pages and completion, which the program writes from the definition of its command line.
set(ECP_ZSH_FOLDER share/zsh/site-functions CACHE STRING "Where zsh looks for functions, below the prefix")
set(ecp_described ${CMAKE_BINARY_DIR}/share)
set(ecp_describers ecp)
if(ECP_WITH_TORCH)
  list(APPEND ecp_describers ecp-torch)
endif()
add_custom_command(OUTPUT ${ecp_described}/stamp
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${ecp_described}
  COMMAND ecp manual --output ${ecp_described}/man1
  COMMAND ecp completion bash --output ${ecp_described}/ecp
  COMMAND ecp completion zsh --output ${ecp_described}/_ecp
  COMMAND ecp completion fish --output ${ecp_described}/ecp.fish
  COMMAND ${CMAKE_COMMAND} -E touch ${ecp_described}/stamp
  DEPENDS ${ecp_describers} COMMENT "Writing manual pages and completion" VERBATIM)
add_custom_target(descriptions ALL DEPENDS ${ecp_described}/stamp)
install(DIRECTORY ${ecp_described}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT runtime)
install(FILES ${ecp_described}/ecp DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT runtime)
install(FILES ${ecp_described}/_ecp DESTINATION ${ECP_ZSH_FOLDER} COMPONENT runtime)
install(FILES ${ecp_described}/ecp.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT runtime)

foreach(header IN LISTS ecp_public_headers)
  cmake_path(GET header PARENT_PATH folder)
  install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/${folder} COMPONENT dev)
endforeach()
set(ecp_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/ecp)
install(EXPORT ecp-targets NAMESPACE ecp:: DESTINATION ${ecp_package_folder} COMPONENT dev)
configure_package_config_file(cmake/ecp-config.cmake.in ${CMAKE_BINARY_DIR}/install/ecp-config.cmake
  INSTALL_DESTINATION ${ecp_package_folder} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/install/ecp-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/install/ecp-config.cmake ${CMAKE_BINARY_DIR}/install/ecp-config-version.cmake
  DESTINATION ${ecp_package_folder} COMPONENT dev)
# The folder of ecp.pc tells pkg-config the prefix, so that an installation can be moved.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX} OUTPUT_VARIABLE ecp_libdir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX} OUTPUT_VARIABLE ecp_includedir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE ecp_prefix)
configure_file(cmake/ecp.pc.in ${CMAKE_BINARY_DIR}/install/ecp.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/install/ecp.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)

if(ECP_WITH_TORCH)
  # They find the LibTorch that they were built with, where it was then.
  set_target_properties(ecp-torch ecp_ops PROPERTIES INSTALL_RPATH ${ECP_TORCH}/lib)
  install(TARGETS ecp-torch RUNTIME COMPONENT torch)
  install(TARGETS ecp_ops LIBRARY COMPONENT torch)
endif()

include(cmake/Package.cmake)
include(cmake/Docs.cmake)
