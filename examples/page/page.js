/* global document, setInterval, clearInterval */
// A heat map of the pages that three simulated devices write. Serve the package's folder over HTTP after `npm run build`,
// and open examples/page/.
import { READ, WRITE, open } from '../../dist/standalone.js';

const PAGE = 4096;
const RAM = 16 * 1024 * 1024;
const COLUMNS = 128;
const CELL = 6; // pixels
const ROUND_MS = 100;
const FADE = 0.85; // of the heat that is left after a round without a write

const core = await open({ memory: '8MiB' });
const iommu = core.iommu();
const domain = iommu.domain({ format: 'amdv1', dirtyTracking: true, leafSizes: [PAGE] });
domain.map({ iova: 0, pa: 0, length: RAM, access: READ | WRITE });
const dirty = core.bitmap({ length: RAM });

/** Made-up devices: where the `tick`-th burst of each one goes. */
const devices = [
  { name: 'nic', colour: [86, 180, 233], burst: (tick) => [0x10_0000 + ((tick * 7) % 256) * 2048, 9000] },
  { name: 'disk', colour: [230, 159, 0], burst: (tick) => [0x50_0000 + ((tick * 5) % 48) * 0x1_0000, 0x8000] },
  { name: 'gpu', colour: [0, 190, 140], burst: (tick) => [0xb0_0000 + ((tick % 20) << 16), 0x1_8000] },
].map((device, index) => {
  const port = iommu.attach(0x0010 + index, domain);
  const log = core.deviceLog({ ranges: [{ iova: 0, length: RAM }] });
  port.logTo(log);
  return { ...device, port, log, written: core.bitmap({ length: RAM }) };
});

const heat = new Float32Array(RAM / PAGE);
const owner = new Uint8Array(RAM / PAGE);
const element = (id) => document.getElementById(id);
const canvas = element('map').getContext('2d');
const counts = devices.map(addLegend);
let tick = 0;
let round = 0;
let timer;

function addLegend({ name, colour }) {
  const item = document.createElement('li');
  const mark = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const square = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  for (const [key, value] of Object.entries({ width: '100%', height: '100%', fill: `rgb(${colour})` })) {
    square.setAttribute(key, value);
  }
  mark.append(square);
  const count = document.createElement('span');
  count.textContent = `${name}: no round yet`;
  item.append(mark, count);
  element('legend').append(item);
  return count;
}

/** One round: the devices write in one batch, then the dirty state is read and cleared, as a migration would do it. */
function runRound() {
  for (let i = 0; i < 4; i++, tick++) {
    for (const { port, burst } of devices) port.post(...burst(tick), WRITE);
  }
  iommu.run();

  heat.forEach((value, page) => (heat[page] = value * FADE));
  devices.forEach(({ name, log, written }, index) => {
    written.clear();
    log.report({ iova: 0, length: RAM, into: written });
    for (const { page, pages } of written.pageRuns()) {
      heat.fill(1, page, page + pages);
      owner.fill(index, page, page + pages);
    }
    counts[index].textContent = `${name}: ${written.count()} pages`;
  });
  dirty.clear();
  domain.readAndClearDirty({ iova: 0, length: RAM, into: dirty });
  round++;
  element('status').textContent = `round ${round}: ${dirty.count()} dirty pages`;
  draw();
}

function draw() {
  canvas.clearRect(0, 0, canvas.canvas.width, canvas.canvas.height);
  heat.forEach((value, page) => {
    if (value < 0.05) return;
    canvas.fillStyle = `rgba(${devices[owner[page]].colour}, ${value})`;
    canvas.fillRect((page % COLUMNS) * CELL, ((page / COLUMNS) | 0) * CELL * 2, CELL - 1, CELL * 2 - 1);
  });
}

function setRunning(running) {
  element('start').disabled = running;
  element('stop').disabled = !running;
  clearInterval(timer);
  if (running) timer = setInterval(runRound, ROUND_MS);
}

element('start').addEventListener('click', () => setRunning(true));
element('stop').addEventListener('click', () => setRunning(false));
