// Opens the reply parser of hiredis.
#pragma once
#include <hiredis/hiredis.h>
#include <hiredis/read.h>
