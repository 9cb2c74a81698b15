// The transposed convolution on small grids, without channels.
// An axis is {size, kernel_size, stride, padding, output_padding, dilation}. A place is a list of one index per axis.
// Inputs and kernels are flat lists, row by row.
const tconv = (() => {
  const reach = (axis) => axis.dilation * (axis.kernel_size - 1);
  const outputSize = (axis) =>
    (axis.size - 1) * axis.stride - 2 * axis.padding + reach(axis) + axis.output_padding + 1;
  const canvasSize = (axis) =>
    Math.max((axis.size - 1) * axis.stride + reach(axis) + 1, axis.padding + outputSize(axis));
  const insertedSize = (axis) => outputSize(axis) + reach(axis);

  // "output_padding" or "nothing" if torch would refuse the settings, otherwise null.
  function fault(axes) {
    if (axes.some((axis) => axis.output_padding >= Math.max(axis.stride, axis.dilation))) return "output_padding";
    return axes.some((axis) => outputSize(axis) < 1) ? "nothing" : null;
  }

  const flat = (place, sizes) => place.reduce((at, index, number) => at * sizes[number] + index, 0);
  const product = (lists) =>
    lists.reduce((all, list) => all.flatMap((head) => list.map((one) => [...head, one])), [[]]);
  const places = (sizes) => product(sizes.map((size) => [...Array(size).keys()]));

  // The pairs of an input and a tap that are multiplied for an output: their places.
  function sources(axes, output) {
    const pairs = axes.map((axis, number) => {
      const found = [];
      for (let input = 0; input < axis.size; input++) {
        const distance = output[number] + axis.padding - input * axis.stride;
        if (distance >= 0 && distance <= reach(axis) && distance % axis.dilation === 0)
          found.push([input, distance / axis.dilation]);
      }
      return found;
    });
    return product(pairs).map((pair) => ({ input: pair.map((one) => one[0]), tap: pair.map((one) => one[1]) }));
  }

  // Where an input goes: for every tap, a place of the canvas, which is the output before padding crops it.
  const targets = (axes, input) =>
    places(axes.map((axis) => axis.kernel_size)).map((tap) => ({
      tap,
      canvas: axes.map((axis, number) => input[number] * axis.stride + tap[number] * axis.dilation),
    }));

  // The canvas as a flat list.
  function canvas(axes, input, kernel) {
    const sizes = axes.map(canvasSize);
    const sums = Array(sizes.reduce((all, one) => all * one, 1)).fill(0);
    for (const place of places(axes.map((axis) => axis.size)))
      for (const { tap, canvas: target } of targets(axes, place))
        sums[flat(target, sizes)] +=
          input[flat(place, axes.map((axis) => axis.size))] * kernel[flat(tap, axes.map((axis) => axis.kernel_size))];
    return sums;
  }

  // The place of an input in the grid with zeros inserted, which a flipped kernel then slides over.
  const insertedPlace = (axes, input) =>
    axes.map((axis, number) => input[number] * axis.stride + reach(axis) - axis.padding);

  // The places of that grid that the flipped kernel covers for an output.
  const windowOf = (axes, output) =>
    places(axes.map((axis) => axis.kernel_size)).map((tap) => ({
      tap,
      place: axes.map((axis, number) => output[number] + reach(axis) - tap[number] * axis.dilation),
    }));

  return { canvasSize, canvas, fault, flat, insertedPlace, insertedSize, outputSize, places, reach, sources, targets,
           windowOf };
})();
