import { IommuError } from '../errno/error.ts';

/** Kinds of objects with an id (drivers/iommu/iommufd/iommufd_private.h, enum iommufd_object_type). */
export type ObjectKind = 'device' | 'hwpt-paging' | 'hwpt-nested' | 'ioas' | 'access' | 'fault';

/** An object of an iommufd. */
export interface IommufdObject {
  readonly kind: ObjectKind;
  readonly id: number;
  /** 1 for the table, and one for each that relies on it. */
  users: number;
  /** Frees what it has; its users are gone by then. @internal */
  destroy(): void;
}

/** The objects of an open iommufd by their ids: the lowest free one from 1 on. */
export class ObjectTable {
  readonly #objects = new Map<number, IommufdObject>();
  #lowestFree = 1;

  /** The id that the next object takes. */
  nextId(): number {
    while (this.#objects.has(this.#lowestFree)) this.#lowestFree++;
    return this.#lowestFree;
  }

  add<T extends IommufdObject>(object: T): T {
    this.#objects.set(object.id, object);
    return object;
  }

  find(id: number): IommufdObject | undefined {
    return this.#objects.get(id);
  }

  /** The object of this kind. ENOENT: none has the id, or one of another kind; `name` is the argument that holds it. */
  get<T extends IommufdObject>(op: string, name: string, id: number, kind: T['kind']): T {
    const object = this.#objects.get(id);
    if (object?.kind === kind) return object as T;
    const found = object ? `the id of ${withArticle(object.kind)}` : 'no id of an object';
    throw new IommuError('ENOENT', op, `${name} is ${id}, ${found}; it must be the id of ${withArticle(kind)}`);
  }

  /** Takes an object out and frees it. EBUSY: something relies on it. */
  destroy(op: string, object: IommufdObject): void {
    if (object.users > 1) {
      const message = `${object.kind} ${object.id} has ${object.users - 1} users; they must let go of it first`;
      throw new IommuError('EBUSY', op, message);
    }
    this.remove(object);
    object.destroy();
  }

  remove(object: IommufdObject): void {
    this.#objects.delete(object.id);
    this.#lowestFree = Math.min(this.#lowestFree, object.id);
  }

  /** Frees everything, what relies on others first. */
  destroyAll(op: string): void {
    while (this.#objects.size > 0) {
      const free = [...this.#objects.values()].reverse().find((object) => object.users === 1);
      if (!free) throw new IommuError('EBUSY', op, `${this.#objects.size} objects rely on each other`);
      this.destroy(op, free);
    }
  }

  get size(): number {
    return this.#objects.size;
  }

  /** All objects, by age. */
  [Symbol.iterator](): Iterator<IommufdObject> {
    return this.#objects.values();
  }
}

function withArticle(kind: ObjectKind): string {
  return `${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind}`;
}
