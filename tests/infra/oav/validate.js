// Microsoft's validator of live requests. stdin: {specs, files: [glob], requests: [{url, body, method, answer}]}, where
// method is PUT by default, and an answer, {statusCode, headers, body}, is judged too if there is one; the last line of
// stdout: one {operation, errors: [text]} per request, operation null where no definition has it.
const path = require("path");
const { LiveValidator } = require(path.join(process.argv[2], "node_modules/oav/dist/lib/liveValidation/liveValidator"));

const JSON_TYPE = { "content-type": "application/json" };

function errorsOf(result, unknown) {
  const errors = result.errors.map((e) => `${e.code} ${e.message} at ${(e.pathsInPayload ?? []).join(", ")}`);
  if (result.runtimeException && !unknown) errors.push(result.runtimeException.message);
  return errors;
}

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
  for (const { url, body, method = "PUT", answer } of input.requests) {
    const request = { method, url, headers: { ...JSON_TYPE }, body };
    const result = await validator.validateLiveRequest(request);
    const unknown = (result.runtimeException?.code ?? "").startsWith("OPERATION_NOT_FOUND");
    const operation = unknown ? null : result.operationInfo.operationId;
    const errors = errorsOf(result, unknown);
    if (answer && !unknown) {
      const response = { ...answer, headers: { ...JSON_TYPE, ...answer.headers } };
      const judged = await validator.validateLiveResponse(response, { url, method });
      errors.push(...errorsOf(judged, false).map((text) => `answer ${answer.statusCode}: ${text}`));
    }
    answers.push({ operation, errors });
  }
  process.stdout.write("\n" + JSON.stringify(answers));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
