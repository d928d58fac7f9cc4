# The one way to add a library, a test or a benchmark.

# Every way to configure uses the compiler cache where there is one: two that differ would build all anew.
find_program(UNSWIFT_CCACHE ccache)
if(UNSWIFT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${UNSWIFT_CCACHE})
endif()

add_library(unswift_flags INTERFACE)
target_include_directories(unswift_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(unswift_flags INTERFACE -Wall -Wextra -Wno-sign-compare)
if(UNSWIFT_ASAN)
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
elseif(UNSWIFT_FUZZ)
  set(sanitizers -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined
      -fno-omit-frame-pointer)
elseif(UNSWIFT_TSAN)
  set(sanitizers -fsanitize=thread)
endif()
target_compile_options(unswift_flags INTERFACE ${sanitizers})
target_link_options(unswift_flags INTERFACE ${sanitizers})

# unswift_library(NAME SOURCES a.cc ... [DEPS unswift_x ... third::party])
# DEPS are what the folder may include; scripts/check_includes holds the same rule.
function(unswift_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC unswift_flags ${arg_DEPS})
endfunction()

# unswift_test(NAME SOURCES a_test.cc ... DEPS unswift_x ... [LABELS unit|golden|integration])
# One executable of GoogleTest cases, registered with ctest as one test; it runs in the source root.
add_custom_target(unit_tests)  # every test executable, nothing else
function(unswift_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} unswift_testing GTest::gmock GTest::gtest_main)
  add_dependencies(unit_tests ${name})
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT 900)
endfunction()

# unswift_bench(NAME SOURCES a_bench.cc DEPS unswift_x ...): a Google Benchmark program.
function(unswift_bench name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} benchmark::benchmark)
endfunction()
