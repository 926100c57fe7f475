/** Bytes of the page in which a migration counts and sends; a page counts in full, the last one of RAM too. */
export const PAGE_BYTES = 4096;
