/* Documents: what the text holds is text, in Markdown and in HTML. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/document.h"

static char *written(bool html)
{
    char *text = NULL;
    size_t len = 0;
    struct document document;
    FILE *out = open_memstream(&text, &len);
    static const char *const titles[] = {"Shortcode", "Why"};
    document_start(&document, out, html, "Window <night>");
    document_heading(&document, "A & B");
    document_paragraph(&document, "%d of %s", 3, "*all*");
    document_table(&document, titles, 2);
    document_cell(&document, "%s", "6|1");
    document_cell(&document, "%s", "<script>\"a\" & 'b'\n\x1b[31m</script>");
    document_cell(&document, "%s", "61_0");
    document_cell(&document, "%s", "");
    document_table_end(&document);
    document_end(&document);
    fclose(out);
    return text;
}

static void markdown_keeps_its_columns(void **state)
{
    char *text = written(false);
    (void)state;
    assert_string_equal(
        text, "# Window \\<night\\>\n\n## A & B\n\n3 of \\*all\\*\n\n| Shortcode | Why |\n| --- | --- |\n"
              "| 6\\|1 | \\<script\\>\"a\" & 'b'??\\[31m\\</script\\> |\n| 61\\_0 |  |\n\n");
    free(text);
}

static void html_runs_nothing(void **state)
{
    char *text = written(true);
    (void)state;
    assert_non_null(strstr(text, "<title>Window &lt;night&gt;</title>"));
    assert_non_null(strstr(text, "<h2>A &amp; B</h2>\n<p>3 of *all*</p>\n"));
    assert_non_null(
        strstr(text, "<tr><td>6|1</td><td>&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;??[31m&lt;/script&gt;"
                     "</td></tr>\n<tr><td>61_0</td><td></td></tr>\n</table>\n</body>\n</html>\n"));
    assert_null(strstr(text, "<script"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markdown_keeps_its_columns),
        cmocka_unit_test(html_runs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
