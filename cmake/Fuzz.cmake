# Fuzz targets: fuzz/NAME.cpp becomes fuzz_NAME. No list has to be edited for a new one. They are linked to what reads
# files, compiled a second time with clang and its sanitizers; what computes with it isn't needed for that.
ecp_sources(ecp_readers_sources base intervals images text probes config weights experiment)
add_library(ecp_readers STATIC ${ecp_readers_sources} ecp/runtime/sampling.cpp ecp/runtime/session_state.cpp ecp/runtime/text_stream.cpp
  ecp/serve/completion_request.cpp ecp/serve/request_fields.cpp ecp/train/training_state.cpp)
target_include_directories(ecp_readers PUBLIC ${PROJECT_SOURCE_DIR})
target_compile_definitions(ecp_readers PUBLIC _GLIBCXX_ASSERTIONS)
# Debian's libfmt was compiled by g++, which names some of its templates otherwise than clang does.
target_link_libraries(ecp_readers PUBLIC fmt::fmt-header-only Threads::Threads ${ecp_reader_libraries} PRIVATE ecp_warnings)

file(GLOB ecp_fuzz_sources RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/fuzz/*.cpp)
foreach(source IN LISTS ecp_fuzz_sources)
  cmake_path(GET source STEM name)
  add_executable(fuzz_${name} ${source})
  target_link_libraries(fuzz_${name} PRIVATE ecp_readers ecp_warnings)
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
endforeach()
