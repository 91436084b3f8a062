# LibTorch from PyPI's wheel, CPU part only: two libraries and two include folders. The wheel's own CMake package
# insists on a CUDA toolkit. ECP_TORCH (variable or environment) names the folder that holds include/ and lib/.
set(ECP_TORCH "$ENV{ECP_TORCH}" CACHE PATH "LibTorch: the folder with include/ and lib/")
if(NOT ECP_TORCH)
  file(GLOB ecp_torch_found ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
  list(APPEND ecp_torch_found "")
  list(GET ecp_torch_found 0 ecp_torch_first)
  set(ECP_TORCH "${ecp_torch_first}" CACHE PATH "LibTorch: the folder with include/ and lib/" FORCE)
endif()
if(NOT EXISTS "${ECP_TORCH}/lib/libtorch_cpu.so" OR NOT EXISTS "${ECP_TORCH}/include/torch/csrc/api/include/torch/torch.h")
  message(FATAL_ERROR "LibTorch not found in '${ECP_TORCH}': run scripts/setup, set ECP_TORCH to the folder with "
    "include/ and lib/, or configure with -DECP_WITH_TORCH=OFF")
endif()
file(STRINGS "${ECP_TORCH}/include/torch/headeronly/version.h" ecp_torch_version REGEX "define TORCH_VERSION_M(AJOR|INOR) ")
string(REGEX REPLACE "[^0-9;]" "" ecp_torch_version "${ecp_torch_version}")
list(JOIN ecp_torch_version "." ecp_torch_version)
if(ecp_torch_version VERSION_LESS 2.11)
  message(FATAL_ERROR "LibTorch in '${ECP_TORCH}': expected version 2.11 or newer, got ${ecp_torch_version}")
endif()
message(STATUS "LibTorch ${ecp_torch_version}: ${ECP_TORCH}")

# at::parallel_for is a header: without OpenMP it is serial. The wheel has its own libgomp; link to that one.
find_package(OpenMP REQUIRED)
set(ecp_openmp OpenMP::OpenMP_CXX)
if(EXISTS ${ECP_TORCH}/lib/libgomp.so.1)
  set(ecp_openmp ${ECP_TORCH}/lib/libgomp.so.1)
endif()
# The wheel's include folder holds headers of another fmt and another oneDNN, whose code it doesn't export: ours must
# be found first.
get_target_property(ecp_fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/first)
file(CREATE_LINK ${ecp_fmt_include}/fmt ${CMAKE_BINARY_DIR}/first/fmt SYMBOLIC)
file(CREATE_LINK ${DNNL_INCLUDE_DIR}/oneapi ${CMAKE_BINARY_DIR}/first/oneapi SYMBOLIC)

add_library(torch_cpu INTERFACE)
target_compile_options(torch_cpu INTERFACE ${OpenMP_CXX_FLAGS})
target_include_directories(torch_cpu SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/first ${ECP_TORCH}/include
  ${ECP_TORCH}/include/torch/csrc/api/include)
# libtorch_cpu carries a oneDNN of another version whose C++ symbols it partly exports. The system's oneDNN must be
# found before it, or its functions find the other's and fail (a test of the programs checks the order).
target_link_options(torch_cpu INTERFACE -Wl,--push-state,--no-as-needed ${DNNL_LIBRARY} -Wl,--pop-state)
target_link_libraries(torch_cpu INTERFACE ${ECP_TORCH}/lib/libtorch_cpu.so ${ECP_TORCH}/lib/libc10.so ${ecp_openmp})
target_link_options(torch_cpu INTERFACE -Wl,-rpath,${ECP_TORCH}/lib -Wl,--allow-shlib-undefined)
