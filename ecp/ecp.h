// Everything that a program needs to put a model into itself:
//
//   #include <ecp/ecp.h>
//
//   auto model = ecp::Model::load("runs/austen");
//   auto session = model->session({.temperature = 0.8f, .seed = 1});
//   session.prompt("It is a truth");
//   while (auto piece = session.next()) std::cout << *piece << std::flush;
//
// These headers are the library's public interface (cmake/Install.cmake lists them); docs/embedding.md is a
// tutorial. Whatever fails throws `ecp::Error` with a message of one line.
#pragma once

#include "ecp/base/exception.h"
#include "ecp/base/path.h"
#include "ecp/base/version.h"
#include "ecp/config/model_config.h"
#include "ecp/runtime/model.h"
#include "ecp/runtime/sampling.h"
#include "ecp/runtime/scheduler.h"
#include "ecp/runtime/session.h"
#include "ecp/text/tokenizer.h"
