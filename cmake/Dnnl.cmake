# oneDNN. Its own CMake package, as Debian ships it, asks for OpenCL headers that nothing here needs.
find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
find_package(OpenMP REQUIRED)  # oneDNN's own threads, which kernels/matmul.cpp keeps to one
add_library(dnnl_library INTERFACE)
target_include_directories(dnnl_library SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(dnnl_library INTERFACE ${DNNL_LIBRARY} OpenMP::OpenMP_CXX)
