// Microsoft's validator of live requests, a line at a time. The first line of stdin is {specs, files: [glob]}; each other
// one a request {url, body, method, answer}, where an answer, {statusCode, headers, body}, is judged too if there is one.
// Each is answered by a line of stdout that begins with "@": {operation, errors: [text]}, operation null where no
// definition has the request. What oav itself prints does not begin so.
const path = require("path");
const readline = require("readline");
const { LiveValidator } = require(path.join(process.argv[2], "node_modules/oav/dist/lib/liveValidation/liveValidator"));

const JSON_TYPE = { "content-type": "application/json" };

function errorsOf(result, unknown) {
  const errors = result.errors.map((e) => `${e.code} ${e.message} at ${(e.pathsInPayload ?? []).join(", ")}`);
  if (result.runtimeException && !unknown) errors.push(result.runtimeException.message);
  return errors;
}

async function ready({ specs, files }) {
  const validator = new LiveValidator({
    directory: specs,
    swaggerPathsPattern: files,
    excludedSwaggerPathsPattern: ["**/examples/**"],
    git: { shouldClone: false },
    isPathCaseSensitive: false,
    isArmCall: true,
  });
  await validator.initialize();
  return validator;
}

async function verdict(validator, { url, body, method, answer }) {
  const result = await validator.validateLiveRequest({ method, url, headers: { ...JSON_TYPE }, body });
  const unknown = (result.runtimeException?.code ?? "").startsWith("OPERATION_NOT_FOUND");
  const errors = errorsOf(result, unknown);
  if (answer && !unknown) {
    const response = { ...answer, headers: { ...JSON_TYPE, ...answer.headers } };
    const judged = await validator.validateLiveResponse(response, { url, method });
    errors.push(...errorsOf(judged, false).map((text) => `answer ${answer.statusCode}: ${text}`));
  }
  return { operation: unknown ? null : result.operationInfo.operationId, errors };
}

async function main() {
  let validator = null;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    if (validator === null) validator = await ready(asked);
    else process.stdout.write("\n@" + JSON.stringify(await verdict(validator, asked)) + "\n");
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
