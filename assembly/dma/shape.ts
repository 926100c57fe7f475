/** What the compiler may take for granted of IOTLB and leaves: it makes very different loops of it. */
export abstract class Shape {
  /** Whether a set may have more than one way, */
  abstract mayChoose(): bool;
  /** and whether it may have only one. */
  abstract mayBeDirect(): bool;
  /** Whether it may have more ways than one header is for. */
  abstract mayHaveHeaders(): bool;
  /** Whether leaves are of the smallest size. */
  abstract smallest(): bool;
}

@final
export class DirectMapped extends Shape {
  mayChoose(): bool {
    return false;
  }
  mayBeDirect(): bool {
    return true;
  }
  mayHaveHeaders(): bool {
    return false;
  }
  smallest(): bool {
    return true;
  }
}

@final
export class Associative extends Shape {
  mayChoose(): bool {
    return true;
  }
  mayBeDirect(): bool {
    return false;
  }
  mayHaveHeaders(): bool {
    return false;
  }
  smallest(): bool {
    return true;
  }
}

@final
export class AnyShape extends Shape {
  mayChoose(): bool {
    return true;
  }
  mayBeDirect(): bool {
    return true;
  }
  mayHaveHeaders(): bool {
    return true;
  }
  smallest(): bool {
    return false;
  }
}
