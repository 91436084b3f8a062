# ecp_sources(VARIABLE ROOM...): the .cpp files that stand directly in ecp/ROOM. A new file needs no list to be
# edited.
function(ecp_sources variable)
  set(found)
  foreach(room IN LISTS ARGN)
    file(GLOB files RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ecp/${room}/*.cpp)
    list(APPEND found ${files})
  endforeach()
  set(${variable} ${found} PARENT_SCOPE)
endfunction()
