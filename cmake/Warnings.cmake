# Warnings are errors for our own code. g++ 12 reports -Wrestrict falsely on std::string's operator+.
add_library(ecp_warnings INTERFACE)
target_compile_options(ecp_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  -Wnon-virtual-dtor -Werror $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
if(ECP_SANITIZE)
  add_compile_options(-fsanitize=${ECP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ECP_SANITIZE})
endif()
