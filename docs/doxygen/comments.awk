# This project's comments as doxygen reads them: those at the top of a file describe it, those behind a declaration
# describe that. Line numbers stay.
FNR == 1 { top = 1 }
top && /^#pragma once/ { print "/// \\file"; top = 0; next }
top || /^ *\/\/\// { gsub(/\\/, "\\\\&") }
top && /^\/\/   / { print "///     " substr($0, 6); next }
top { print "/" $0; next }
/[;,{}] +\/\/ / && !/^ *\/\// { sub(/ \/\/ /, " ///< ") }
{ print }
