// The other side of the fan-out rows: Node's `ws` telling a party's listeners what somebody says, and nothing more.
// No tokens, no participants, no snapshots: what remains is what any chat server on `ws` does.
import http from "node:http";
import { WebSocket, WebSocketServer } from "ws";

const BEAT_MS = 10_000; // The manager's default.
const port = Number(process.argv[process.argv.indexOf("--port") + 1]);
const parties = new Map(); // Listeners by the party's code.

const server = http.createServer((request, response) => {
  if (request.method !== "POST") {
    response.end("{}");
    return;
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    tell(codeOf(request), JSON.parse(Buffer.concat(chunks)).body);
    response.writeHead(202).end();
  });
});

// Compression is off by default since ws 3 and costs what it costs the manager; sizes are bounded alike.
const sockets = new WebSocketServer({ server, perMessageDeflate: false, maxPayload: 16 * 1024 });

sockets.on("connection", (socket, request) => {
  const code = codeOf(request);
  if (!parties.has(code)) parties.set(code, new Set());
  parties.get(code).add(socket);
  socket.isAlive = true;
  socket.on("pong", () => (socket.isAlive = true));
  socket.on("error", () => socket.terminate());
  socket.on("close", () => parties.get(code).delete(socket));
});

// As the documentation of ws broadcasts: https://github.com/websockets/ws#server-broadcast
function tell(code, body) {
  // JavaScript's time has three decimals, the manager's six: the frames are to be of one size.
  const at = new Date().toISOString().replace("Z", "000Z");
  const event = Buffer.from(JSON.stringify({ type: "message", at, participant_id: 0, body }));
  for (const socket of parties.get(code) ?? []) {
    if (socket.readyState === WebSocket.OPEN) socket.send(event, { binary: false });
  }
}

function codeOf(request) {
  return request.url.split("/")[2];
}

// As the documentation of ws finds broken connections, in the manager's time.
setInterval(() => {
  for (const socket of sockets.clients) {
    if (!socket.isAlive) {
      socket.terminate();
      continue;
    }
    socket.isAlive = false;
    socket.ping();
  }
}, BEAT_MS);

server.listen(port, "127.0.0.1");
