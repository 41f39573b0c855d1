"""What one file tells of a whole collection (``lfadsq report``): gathered here, drawn by a browser.

`document` gathers, from the modules beside it; `page` writes the page.
"""
