// Microsoft's validator of live requests. stdin: {specs, files: [glob], requests: [{url, body}]};
// the last line of stdout: one {operation, errors: [text]} per request, operation null where no definition has it.
const path = require("path");
const { LiveValidator } = require(path.join(process.argv[2], "node_modules/oav/dist/lib/liveValidation/liveValidator"));

async function main() {
  const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const validator = new LiveValidator({
    directory: input.specs,
    swaggerPathsPattern: input.files,
    excludedSwaggerPathsPattern: ["**/examples/**"],
    git: { shouldClone: false },
    isPathCaseSensitive: false,
    isArmCall: true,
  });
  await validator.initialize();
  const answers = [];
  for (const { url, body } of input.requests) {
    const headers = { "content-type": "application/json" };
    const result = await validator.validateLiveRequest({ method: "PUT", url, headers, body });
    const unknown = (result.runtimeException?.code ?? "").startsWith("OPERATION_NOT_FOUND");
    const errors = result.errors.map((e) => `${e.code} ${e.message} at ${(e.pathsInPayload ?? []).join(", ")}`);
    if (result.runtimeException && !unknown) errors.push(result.runtimeException.message);
    answers.push({ operation: unknown ? null : result.operationInfo.operationId, errors });
  }
  process.stdout.write("\n" + JSON.stringify(answers));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
