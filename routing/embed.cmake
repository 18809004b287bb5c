# Turns a text file into a C string: cmake -DIN=file -DOUT=header -DNAME=identifier -P embed.cmake
file(READ ${IN} text)
string(REPLACE "\\" "\\\\" text "${text}")
string(REPLACE "\"" "\\\"" text "${text}")
string(REPLACE "\n" "\\n\"\n\"" text "${text}")
file(WRITE ${OUT} "static const char ${NAME}[] =\n\"${text}\";\n")
