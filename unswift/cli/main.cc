#include "unswift/cli/command_line.h"

int main(int argc, char** argv) {
  unswift::CommandLine line;
  unswift::AddImport(line);
  unswift::AddInspect(line);
  unswift::AddTokenize(line);
  unswift::AddGenerate(line);
  unswift::AddChat(line);
  unswift::AddLogits(line);
  unswift::AddPerplexity(line);
  unswift::AddCalibrate(line);
  unswift::AddProtect(line);
  unswift::AddVerify(line);
  unswift::AddBench(line);
  unswift::AddAudit(line);
  unswift::AddTrace(line);
  unswift::AddKeygen(line);
  unswift::AddSign(line);
  unswift::AddSeal(line);
  unswift::AddUnseal(line);
  return line.Main(argc, argv);
}
